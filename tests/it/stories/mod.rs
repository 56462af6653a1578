//! One file for each thing that happens to mirrors.

mod star;
