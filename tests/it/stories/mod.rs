//! One file for each thing that happens to mirrors.

mod commands;
mod crash;
mod panic;
mod processes;
mod secrets;
mod star;
