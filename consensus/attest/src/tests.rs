//! One engine step by step (what goes in, what comes out, in words), and many of them in stories.

mod rig;
mod world;

mod adding_up;
mod confirming;
mod crash;
mod crossing;
mod holding;
mod large;
mod mutations;
mod scenarios;
mod signing;
