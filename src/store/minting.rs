//! New keys and tickets: drawn from the operating system's random numbers; keys are hashed off the threads that answer
//! requests.

use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::domain::api_key::{FullKey, RANDOM, SALT};
use crate::domain::session::{self, Ticket};

use super::blocking;
use super::error::StoreError;

/// A new key and what is kept of it.
pub struct Minted {
    /// Shown once, kept nowhere.
    pub full: FullKey,
    /// Goes into its row.
    pub hash: String,
}

/// Makes a key.
///
/// # Errors
/// [`StoreError::Unavailable`] if the system has no random numbers or no memory.
pub async fn mint() -> Result<Minted, StoreError> {
    blocking(|| {
        let (mut random, mut salt) = ([0; RANDOM], [0; SALT]);
        draw(&mut random)?;
        draw(&mut salt)?;
        let full = FullKey::of_random(&random);
        let full = full.ok_or_else(|| StoreError::Unavailable("an unlucky draw; try again".to_owned()))?;
        let hash = full.hash(salt).map_err(StoreError::Unavailable)?;
        Ok(Minted { full, hash })
    })
    .await
}

/// Draws a ticket.
///
/// # Errors
/// [`StoreError::Unavailable`] if the system has no random numbers.
pub fn ticket() -> Result<Ticket, StoreError> {
    let mut random = [0; session::RANDOM];
    draw(&mut random)?;
    Ticket::of_random(&random).ok_or_else(|| StoreError::Unavailable("an unlucky draw; try again".to_owned()))
}

fn draw(bytes: &mut [u8]) -> Result<(), StoreError> {
    OsRng.try_fill_bytes(bytes).map_err(|it| StoreError::Unavailable(format!("the system's random numbers: {it}")))
}
