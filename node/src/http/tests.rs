//! The routes against a scripted node on a memory store, and the bounds on real sockets.

mod admin;
mod anything;
mod gateway;
mod health;
mod levels;
mod limits;
mod native;
mod peers;
mod real;
mod sockets;
pub(crate) mod support;
mod union;
mod units;
