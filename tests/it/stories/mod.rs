//! One file for each thing that happens to mirrors.

mod adopt;
mod alias;
mod brake;
mod commands;
mod crash;
mod economy;
mod faults;
mod head;
mod kept;
mod marker;
mod naming;
mod onedev;
mod panic;
mod processes;
mod refs;
mod restore;
mod retention;
mod revive;
mod secrets;
mod star;
mod tools;
mod unstar;
mod upstream;
