//! Proxies that end TLS in front of a parlor that speaks plain lines: what people use where a server has no TLS of its own.
//!
//! Both are set up as the recipes of the README have it, with a PROXY header that tells the clients' addresses. Proxy and
//! parlor share a CPU, as parlor with TLS of its own has one, and what they take counts together.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::certificate;
use crate::process::Watched;
use crate::servers::{Kind, Launch, Server, free_address};
use crate::transport::Address;

/// Where Debian has nginx's module for TCP.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// A proxy and the parlor behind it. Both end with this value.
pub struct Proxied {
    pub proxy: Server,
    pub watched: Watched,
    _parlor: Server,
}

impl Proxied {
    /// Starts both, and waits until they can be connected to.
    pub fn start(kind: Kind, launch: &Launch) -> io::Result<Proxied> {
        let cpu = || launch.cpus.map(|cpus| cpus.server.to_string());
        let behind = free_address()?;
        let parlor = Server::start_program(&launch.binary, cpu(), |_| {
            let listen = format!("proxy+{behind}");
            let clients = launch.most_clients().to_string();
            let mut arguments: Vec<OsString> = vec!["--listen".into(), listen.into()];
            arguments.extend(["--max-clients".into(), clients.into()]);
            arguments.extend(launch.extra.iter().map(OsString::from));
            Ok((Address::Tcp(behind), arguments))
        })?;
        let program = kind.program(launch).map_err(io::Error::other)?;
        let proxy = Server::start_program(&program, cpu(), |folder| {
            let front = free_address()?;
            Ok((Address::Tcp(front), arguments(kind, folder, front, behind, launch)?))
        })?;
        let watched = Watched { servers: vec![proxy.process(), parlor.process()], ..Watched::default() };
        Ok(Proxied { proxy, watched, _parlor: parlor })
    }
}

/// Whether what such a proxy needs besides its program is there, or how to get it.
pub fn is_there(kind: Kind) -> Result<(), String> {
    match kind == Kind::Nginx && !Path::new(NGINX_STREAM).is_file() {
        true => {
            Err("nginx has no module for TCP; on Debian and Ubuntu: apt install libnginx-mod-stream"
                .to_owned())
        }
        false => Ok(()),
    }
}

/// The proxy's arguments; its configuration is written into the folder.
fn arguments(
    kind: Kind,
    folder: &Path,
    front: SocketAddr,
    behind: SocketAddr,
    launch: &Launch,
) -> io::Result<Vec<OsString>> {
    let files = certificate::write(folder)?;
    let config = folder.join("config");
    let path = |path: &PathBuf| path.display().to_string();
    let (text, words) = match kind {
        Kind::Nginx => {
            let text =
                nginx(front, behind, &path(&files.certificate), &path(&files.key), launch.most_clients());
            (
                text,
                ["-e", "stderr", "-p", &path(&folder.to_owned()), "-c", &path(&config)]
                    .map(OsString::from)
                    .to_vec(),
            )
        }
        _ => {
            let text = haproxy(front, behind, &path(&files.both), launch.most_clients() / 2);
            (text, ["-db", "-f", &path(&config)].map(OsString::from).to_vec())
        }
    };
    fs::write(config, text)?;
    Ok(words)
}

/// One process, which does all the work. `connections` are those to both sides.
fn nginx(front: SocketAddr, behind: SocketAddr, certificate: &str, key: &str, connections: usize) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\n\
         load_module {NGINX_STREAM};\nworker_rlimit_nofile {connections};\n\
         events {{ worker_connections {connections}; multi_accept on; }}\n\
         stream {{\n  server {{\n    listen {front} ssl backlog=4096;\n\
         ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    ssl_protocols TLSv1.2 TLSv1.3;\n\
         proxy_pass {behind};\n    proxy_protocol on;\n    proxy_timeout 24h;\n    proxy_half_close on;\n  }}\n}}\n"
    )
}

fn haproxy(front: SocketAddr, behind: SocketAddr, both: &str, clients: usize) -> String {
    format!(
        "global\n  nbthread 1\n  maxconn {clients}\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 24h\n  timeout server 24h\n\
         timeout client-fin 60s\n  timeout server-fin 60s\n\
         frontend chat\n  bind {front} ssl crt {both} backlog 4096\n  default_backend parlor\n\
         backend parlor\n  server parlor {behind} send-proxy-v2\n"
    )
}
