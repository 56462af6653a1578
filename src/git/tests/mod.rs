//! Stories of whole transfers.
