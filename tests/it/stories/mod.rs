//! One file for each thing that happens to mirrors.

mod commands;
mod crash;
mod economy;
mod panic;
mod processes;
mod secrets;
mod star;
