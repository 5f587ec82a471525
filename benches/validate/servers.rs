//! The servers under comparison, each a process of its own on the first core: this same program once more, or an anchor.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;

use keyward::api::proto::Decision;
use keyward::load::{Form, Judge, Pace, Plan, Questions};
use prost::Message as _;
use zeroize::Zeroizing;

use crate::anchors::{Anchor, envoy, nginx, redis};
use crate::fill::{self, Filled};
use crate::judges::{Allowed, Begins, Numbered};
use crate::raw::Ask;
use crate::{cpu, noop};

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Keyward,
    /// A tonic service that does nothing, on a multi_thread runtime as everybody writes it.
    NoopMulti,
    /// The same on one current_thread runtime.
    NoopCurrent,
    /// Bytes sent back.
    Echo,
    Redis,
    Envoy,
    Nginx,
}

impl Kind {
    const OURS: [Self; 4] = [
        Self::Keyward,
        Self::NoopMulti,
        Self::NoopCurrent,
        Self::Echo,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keyward => "Keyward",
            Self::NoopMulti => "no-op tonic, multi_thread",
            Self::NoopCurrent => "no-op tonic, current_thread",
            Self::Echo => "TCP echo",
            Self::Redis => "Redis GET",
            Self::Envoy => "Envoy api_key_auth",
            Self::Nginx => "nginx map",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    child: Child,
}

/// What it is asked, and what of its answers is right.
#[derive(Clone)]
pub(crate) enum Script {
    Http2 {
        path: String,
        authorization: Option<Rc<Zeroizing<String>>>,
        form: Form,
        questions: Rc<Questions>,
        judge: Rc<dyn Judge>,
    },
    Raw(Ask),
}

impl Server {
    /// Starts one of ours and waits until it serves.
    pub(crate) fn start(kind: Kind, credentials: usize, dir: &Path) -> Self {
        Self::start_under(&[], kind, credentials, dir)
    }

    /// The same, under a command that ends in running what follows it.
    pub(crate) fn start_under(
        wrapper: &[&OsStr],
        kind: Kind,
        credentials: usize,
        dir: &Path,
    ) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = cpu::on_the_first_core(&[wrapper, &[program.as_os_str()]].concat())
            .args(["--serve", kind.name()])
            .arg(credentials.to_string())
            .arg(dir)
            .args((!wrapper.is_empty()).then_some(STILL))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut address = String::new();
        said.read_line(&mut address)
            .expect("the server says where it is");
        let address = address.trim().parse();
        Self {
            kind,
            address: address.unwrap_or_else(|_| panic!("{kind} did not start")),
            child,
        }
    }

    pub(crate) fn of(kind: Kind, anchor: Anchor) -> Self {
        Self {
            kind,
            address: anchor.address,
            child: anchor.child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end by itself.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }

    /// A plan for a script of HTTP/2.
    pub(crate) fn plan(
        &self,
        path: &str,
        authorization: Option<Rc<Zeroizing<String>>>,
        form: Form,
    ) -> Plan {
        Plan {
            address: self.address,
            authority: "127.0.0.1".into(),
            path: path.into(),
            authorization,
            form,
            connections: 1,
            in_flight: 1,
            pace: Pace::Closed,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Script {
    /// The unary call of each kind, over all credentials.
    pub(crate) fn unary(kind: Kind, filled: &Rc<Filled>, keys: usize) -> Self {
        match kind {
            Kind::Keyward => Self::hits(filled),
            Kind::NoopMulti | Kind::NoopCurrent => Self::noop(),
            Kind::Echo => Self::Raw(Ask::Echo(Rc::new(same_size()))),
            Kind::Redis => Self::Raw(Ask::Get(Rc::clone(&filled.credentials))),
            Kind::Envoy => {
                let body = envoy::body().into_bytes();
                Self::get(envoy::HEADER, filled, keys, Rc::new(Begins(body)))
            }
            Kind::Nginx => Self::get(nginx::HEADER, filled, keys, Rc::new(Numbered)),
        }
    }

    /// The same questions, asked of Keyward or a service that does nothing in another form.
    pub(crate) fn in_form(&self, form: Form) -> Self {
        let mut script = self.clone();
        if let Self::Http2 {
            path, form: own, ..
        } = &mut script
        {
            *path = if path.starts_with("/bench") {
                noop_path(form)
            } else {
                keyward_path(form)
            };
            *own = form;
        }
        script
    }

    /// Good credentials, each with everything checked.
    pub(crate) fn hits(filled: &Filled) -> Self {
        let texts = filled.credentials.iter().map(|(text, _)| text);
        let id = |id: &String| id.as_bytes().try_into().expect("ids have 22 characters");
        let ids = filled.credentials.iter().map(|(_, own)| id(own)).collect();
        let judge = Allowed {
            ids: Rc::new(ids),
            at: Cell::new(0),
        };
        Self::asked(filled, texts, Rc::new(judge))
    }

    /// These texts, presented to Keyward.
    pub(crate) fn asked<'t>(
        filled: &Filled,
        texts: impl IntoIterator<Item = &'t String>,
        judge: Rc<dyn Judge>,
    ) -> Self {
        let mut questions = Questions::default();
        for text in texts {
            questions.push(&fill::question(&filled.account_key, text).encode_to_vec());
        }
        Self::Http2 {
            path: keyward_path(Form::Unary),
            authorization: Some(bearer(&filled.operator)),
            form: Form::Unary,
            questions: Rc::new(questions),
            judge,
        }
    }

    /// A question of the same size, for a service that does nothing.
    pub(crate) fn noop() -> Self {
        let mut questions = Questions::default();
        questions.push(&same_size());
        Self::Http2 {
            path: noop_path(Form::Unary),
            // As long as an operator's.
            authorization: Some(bearer(&"t".repeat(80))),
            form: Form::Unary,
            questions: Rc::new(questions),
            judge: Rc::new(Begins(vec![0x08, Decision::Allow as u8])),
        }
    }

    fn get(header: &'static str, filled: &Filled, keys: usize, judge: Rc<dyn Judge>) -> Self {
        let mut questions = Questions::default();
        let keyed = filled.credentials.iter().take(keys);
        keyed.for_each(|(text, _)| questions.push(text.as_bytes()));
        Self::Http2 {
            path: "/".into(),
            authorization: None,
            form: Form::Get(header),
            questions: Rc::new(questions),
            judge,
        }
    }
}

fn bearer(text: &str) -> Rc<Zeroizing<String>> {
    Rc::new(format!("Bearer {text}").into())
}

fn keyward_path(form: Form) -> String {
    let method = match form {
        Form::Stream => "StreamValidateCredentials",
        Form::Batch(_) => "BatchValidateCredentials",
        Form::Unary | Form::Get(_) => "ValidateCredentials",
    };
    format!("/keyward.v1.CredentialService/{method}")
}

fn noop_path(form: Form) -> String {
    let path = match form {
        Form::Stream => noop::STREAM,
        Form::Batch(_) => noop::BATCH,
        Form::Unary | Form::Get(_) => noop::UNARY,
    };
    path.into()
}

/// An anchor: why it is not run, where it is not.
pub(crate) fn anchor(kind: Kind, filled: &Filled, dir: &Path) -> Result<Anchor, String> {
    match kind {
        Kind::Redis => redis::start(&filled.credentials),
        Kind::Envoy => envoy::start(&filled.credentials, dir),
        _ => nginx::start(&filled.credentials, dir),
    }
}

fn same_size() -> Vec<u8> {
    fill::question(&"k".repeat(32), &"t".repeat(80)).encode_to_vec()
}

/// The child's clock stands still: what runs a program under observation does not let it read the real one as Keyward does.
const STILL: &str = "still";

/// In the child: serves until the parent is gone.
pub(crate) fn serve(arguments: &[String]) {
    let [name, credentials, dir, still @ ..] = arguments else {
        panic!("--serve NAME CREDENTIALS DIR [{STILL}]");
    };
    // The parent's end closes the standard input.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let kind = Kind::OURS.into_iter().find(|kind| kind.name() == name);
    match kind.expect("a known server") {
        Kind::Keyward => {
            let credentials = credentials.parse().expect("a number");
            fill::serve(credentials, Path::new(dir), still.is_empty(), say);
        }
        Kind::NoopMulti => serve_noop(&mut tokio::runtime::Builder::new_multi_thread()),
        Kind::NoopCurrent => serve_noop(&mut tokio::runtime::Builder::new_current_thread()),
        _ => serve_echo(),
    }
}

fn say(address: SocketAddr) {
    println!("{address}");
    std::io::stdout().flush().expect("the parent reads");
}

fn serve_noop(runtime: &mut tokio::runtime::Builder) {
    let runtime = runtime.enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        say(listener.local_addr().expect("it is bound"));
        let incoming =
            tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        let served = tonic::transport::Server::builder()
            .add_service(noop::Noop)
            .serve_with_incoming(incoming);
        served.await.expect("it serves");
    });
}

fn serve_echo() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        say(listener.local_addr().expect("it is bound"));
        loop {
            let (mut socket, _) = listener.accept().await.expect("it listens");
            socket.set_nodelay(true).expect("it is a socket");
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
}
