//! What GitHub sends: headers, signature, payload. Pure: bytes in, a [`crate::domain::event::Event`] out.
//!
//! The order in which the webhook route asks: media type and size, then [`signature::verify`] over the
//! raw bytes, and only behind a right signature [`headers::Delivery::read`] and [`payload::parse`], so
//! that a stranger learns nothing about what would be accepted.

pub mod headers;
pub mod payload;
pub mod signature;
