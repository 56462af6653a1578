//! One file for each thing that happens to mirrors.

mod alias;
mod brake;
mod catalog;
mod catalog_files;
mod commands;
mod crash;
mod economy;
mod faults;
mod head;
mod kept;
mod lfs;
mod naming;
mod onedev;
mod panic;
mod processes;
mod refs;
mod revive;
mod secrets;
mod star;
mod tools;
mod unstar;
mod upstream;
