//! A program at the other end of a channel: what it is told, what it prints, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::server::{Connection, broken};
use crate::git::body::MAX_MESSAGE;
use crate::git::clean::Redactor;
use crate::git::error::{Side, WireError};
use crate::git::feed::Outgoing;

/// The most that is kept of what a program says on its error channel.
const MAX_ERRORS: usize = 4096;
/// How long a program that has said all may take to end.
const END_WAIT: Duration = Duration::from_secs(5);
/// Error channel.
const STDERR: u32 = 1;

/// What a program prints, as it comes. Dropping it closes the channel, which ends the program.
#[derive(Debug)]
pub(crate) struct SshStream {
    read: ChannelReadHalf,
    connection: Arc<Connection>,
    /// Held as long as the answer is wanted.
    _wanted: DropGuard,
    ahead: Option<Bytes>,
    errors: Vec<u8>,
    status: Option<u32>,
    ended: bool,
    side: Side,
}

impl SshStream {
    /// Starts a program and tells it `outgoing` while it answers.
    pub(crate) async fn start(
        channel: Channel<Msg>,
        connection: Arc<Connection>,
        command: &str,
        version2: bool,
        outgoing: Outgoing,
        side: Side,
    ) -> Result<Self, WireError> {
        let failed = |error: russh::Error| broken(side, &error);
        if version2 {
            // A server that does not take it answers in the old protocol, which is noticed.
            channel.set_env(false, "GIT_PROTOCOL", "version=2").await.map_err(failed)?;
        }
        channel.exec(true, command).await.map_err(failed)?;
        let (read, write) = channel.split();
        let wanted = CancellationToken::new();
        // What is told and what is answered may wait for each other, so they do not share a task.
        tokio::spawn(tell(write, outgoing, wanted.clone()));
        let (errors, _wanted) = (Vec::new(), wanted.drop_guard());
        Ok(Self { read, connection, _wanted, ahead: None, errors, status: None, ended: false, side })
    }

    /// Waits for the first bytes.
    pub(crate) async fn wait_for_start(&mut self) -> Result<(), WireError> {
        if self.ahead.is_none() {
            self.ahead = self.chunk().await?;
        }
        Ok(())
    }

    /// The next bytes; `None` when the program has ended well. The caller bounds the time.
    ///
    /// # Errors
    /// A broken connection, or a program that ended badly: with its own words.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        while !self.ended {
            match self.read.wait().await {
                Some(ChannelMsg::Eof) => {
                    self.ended = true;
                    let _ = tokio::time::timeout(END_WAIT, self.read_end()).await;
                }
                Some(ChannelMsg::Failure) => {
                    let message = "it refuses to run git".to_owned();
                    return Err(WireError::Forbidden { side: self.side, message });
                }
                Some(ChannelMsg::Data { data }) if !data.is_empty() => return Ok(Some(data)),
                Some(ChannelMsg::Close) => self.ended = true,
                Some(other) => self.note(other),
                None if self.status.is_none() => return Err(self.cut()),
                None => self.ended = true,
            }
        }
        match self.status {
            None | Some(0) => Ok(None),
            Some(_) => Err(self.said()),
        }
    }

    async fn read_end(&mut self) {
        while let Some(message) = self.read.wait().await {
            if matches!(message, ChannelMsg::Close) {
                break;
            }
            self.note(message);
        }
    }

    fn note(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::ExtendedData { data, ext: STDERR } => {
                let room = MAX_ERRORS.saturating_sub(self.errors.len()).min(data.len());
                self.errors.extend_from_slice(data.get(..room).unwrap_or_default());
            }
            ChannelMsg::ExitStatus { exit_status } => self.status = Some(exit_status),
            ChannelMsg::ExitSignal { .. } => self.status = Some(u32::MAX),
            _ => {}
        }
    }

    fn cut(&self) -> WireError {
        let detail = if self.connection.is_closed() { "SSH: the connection broke" } else { "SSH: the channel broke" };
        WireError::Transport { side: self.side, detail: detail.to_owned() }
    }

    /// What the program said before it ended badly.
    fn said(&self) -> WireError {
        let message = Redactor::default().line(&self.errors, MAX_MESSAGE);
        refusal(self.side, message)
    }
}

/// The error that a program's last words stand for: GitHub's, OneDev's and git's own.
fn refusal(side: Side, message: String) -> WireError {
    let text = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|it| text.contains(it));
    if text.is_empty() {
        return WireError::Transport { side, detail: "SSH: git ended without a word".to_owned() };
    }
    if says(&["repository not found", "unable to find project", "does not exist", "not appear to be a git repository"])
    {
        return WireError::NotFound { side, message };
    }
    if says(&["not allowed", "permission", "access denied", "disabled", "read-only", "not authorized"]) {
        return WireError::Forbidden { side, message };
    }
    WireError::Remote { side, message }
}

/// Tells a program everything, then waits until nobody wants its answer any more. One that could not
/// be told all is not told that this was all: its channel just goes, so that half a pack is never
/// taken for a whole one.
async fn tell(write: ChannelWriteHalf<Msg>, mut outgoing: Outgoing, wanted: CancellationToken) {
    let told = async {
        while let Some(piece) = outgoing.next().await {
            let Ok(piece) = piece else { return false };
            if write.data_bytes(piece).await.is_err() {
                return false;
            }
        }
        write.eof().await.is_ok()
    };
    let whole = tokio::select! {
        biased;
        () = wanted.cancelled() => false,
        whole = told => whole,
    };
    if whole {
        wanted.cancelled().await;
    }
    // A connection that has gone closes nothing any more.
    let _ = write.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_program_tell_what_was_wrong() {
        for (words, code) in [
            ("ERROR: Repository not found. | fatal: Could not read", "upstream_not_found"),
            ("ERROR: Unable to find project 'github/x'", "upstream_not_found"),
            ("ERROR: You are not allowed to pull from the project", "upstream_forbidden"),
            ("ERROR: Permission to octo/hello.git denied to deploy key", "upstream_forbidden"),
            ("fatal: the remote end hung up", "upstream_refused"),
            ("", "upstream_unreachable"),
        ] {
            assert_eq!(refusal(Side::Upstream, words.to_owned()).code(), code, "{words}");
        }
    }
}
