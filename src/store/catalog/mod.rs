//! The catalog's state: what GitHub was seen to hold, how far its lists were read, what stands in
//! OneDev, and what must be written anew.
//!
//! Every page that is read is one transaction: its items, what they make to do, and the place in the
//! list. So a run that is cut off goes on behind the last page. Written by the `catalog` stage only,
//! which runs once at a time for a mirror; events leave a wish with [`todo::wish`].

pub mod assets;
pub mod commits;
pub mod entries;
pub mod feeds;
pub mod items;
mod state;
pub mod todo;

pub use self::state::{
    Catalog, ReadBack, Trouble, close_round, due, ensure, find, forget, forget_published, hasten, intend, open_round,
    read_back, record_error, settle_error, stand,
};
