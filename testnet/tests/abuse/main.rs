//! What hostile clients and hostile processes can do to a node: little. Each attack runs beside somebody who wants an answer, and the
//! figures are printed.

mod bombs;
mod bystander;
mod floods;
mod modules;
