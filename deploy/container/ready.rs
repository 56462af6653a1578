//! `ready [PATH]`: ends with 0 if the server in this container answers 200 to `GET PATH` (`/readyz` without
//! one), else with 1 and the reason.
//!
//! For health checks inside the image, which has no shell and no other program. Nothing but the standard
//! library: `rustc -O ready.rs`. The address is that of `STARKEEP__SERVER__BIND`, by default port 8080.
//!
//! Name the path in every health check: podman takes a list of one word for a line for a shell.

use std::env::VarError;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Less than the health check's own time-out, so that the reason is told.
const PATIENCE: Duration = Duration::from_secs(4);
/// All that the status line needs.
const STATUS_LINE: usize = 12;

fn main() -> ExitCode {
    match ask() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("not ready: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn ask() -> Result<(), String> {
    let address = address()?;
    let told = |error: std::io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    let path = std::env::args().nth(1).unwrap_or_else(|| "/readyz".to_owned());
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut head = [0; STATUS_LINE];
    stream.read_exact(&mut head).map_err(told)?;
    if head.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(String::from_utf8_lossy(&head).into_owned()) }
}

/// Where the server listens, seen from inside: "any address" is loopback.
fn address() -> Result<SocketAddr, String> {
    let bind = match std::env::var("STARKEEP__SERVER__BIND") {
        Ok(bind) => bind,
        Err(VarError::NotPresent) => "127.0.0.1:8080".to_owned(),
        Err(error) => return Err(format!("STARKEEP__SERVER__BIND: {error}")),
    };
    let mut address: SocketAddr = bind.parse().map_err(|error| format!("STARKEEP__SERVER__BIND: {error}"))?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(address)
}
