//! The simulator on itself, and the seeds of every `make test`.

mod seeds;
