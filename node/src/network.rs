//! The network between nodes, as the node sees it.

pub mod seam;
