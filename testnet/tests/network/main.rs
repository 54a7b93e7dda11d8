//! Networks of real processes on loopback: what is sent to one is in every log, with the same results, whatever is killed meanwhile.

mod chaos;
mod faults;
mod join;
mod members;
mod recovery;
mod snapshot;
