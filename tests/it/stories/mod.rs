//! One file for each thing that happens to mirrors.

mod alias;
mod brake;
mod cached;
mod catalog;
mod commands;
mod crash;
mod economy;
mod faults;
mod head;
mod kept;
mod lfs;
mod marker;
mod naming;
mod onedev;
mod panic;
mod processes;
mod refs;
mod retention;
mod revive;
mod secrets;
mod ssh;
mod star;
mod tools;
mod unstar;
mod unusual;
mod upstream;
