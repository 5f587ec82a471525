//! The servers under comparison: each is this same program once more, on a core of its own.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;

use keyward::api::proto;
use prost::Message as _;

use crate::cpu;
use crate::fill;
use crate::load::{Question, Target};

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
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Keyward,
        Self::NoopMulti,
        Self::NoopCurrent,
        Self::Echo,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Keyward => "keyward",
            Self::NoopMulti => "no-op tonic, multi_thread",
            Self::NoopCurrent => "no-op tonic, current_thread",
            Self::Echo => "TCP echo",
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
    child: Child,
    target: Target,
}

impl Server {
    /// Starts it and waits until it serves.
    pub(crate) fn start(kind: Kind, credentials: usize, dir: &Path) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = cpu::on_the_first_core(&program)
            .args(["--serve", kind.name()])
            .arg(credentials.to_string())
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut address = String::new();
        said.read_line(&mut address)
            .expect("the server says where it is");
        let target = target(kind, address.trim(), dir);
        println!("{kind}: serving");
        Self {
            kind,
            child,
            target,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn target(kind: Kind, address: &str, dir: &Path) -> Target {
    let (path, authorization, questions) = match kind {
        Kind::Keyward => {
            let filled = fill::read(dir);
            let questions = filled.credentials.iter();
            let questions = questions.map(|(text, id)| Question {
                message: fill::question(&filled.account_key, text).encode_to_vec(),
                holds: [&[0x22, 22][..], id.as_bytes()].concat(),
            });
            let authorization = format!("Bearer {}", filled.operator);
            (KEYWARD, authorization, questions.collect())
        }
        Kind::NoopMulti | Kind::NoopCurrent | Kind::Echo => {
            let question = fill::question(&"k".repeat(32), &"t".repeat(80));
            let question = Question {
                message: question.encode_to_vec(),
                holds: vec![0x08, proto::Decision::Allow as u8],
            };
            (NOOP, "Bearer none".into(), vec![question])
        }
    };
    Target {
        kind,
        address: address
            .parse::<SocketAddr>()
            .expect("the server says its address"),
        path,
        authorization: authorization.into(),
        questions: Rc::new(questions),
    }
}

const KEYWARD: &str = "/keyward.v1.CredentialService/ValidateCredentials";
const NOOP: &str = "/bench.Noop/Validate";

/// In the child: serves until the parent is gone.
pub(crate) fn serve(arguments: &[String]) {
    let [name, credentials, dir] = arguments else {
        panic!("--serve NAME CREDENTIALS DIR");
    };
    // The parent's end closes the standard input.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    match kind.expect("a known server") {
        Kind::Keyward => {
            let credentials = credentials.parse().expect("a number");
            fill::serve(credentials, Path::new(dir), say);
        }
        Kind::NoopMulti => noop(&mut tokio::runtime::Builder::new_multi_thread()),
        Kind::NoopCurrent => noop(&mut tokio::runtime::Builder::new_current_thread()),
        Kind::Echo => echo(),
    }
}

fn say(address: SocketAddr) {
    println!("{address}");
    std::io::stdout().flush().expect("the parent reads");
}

fn noop(runtime: &mut tokio::runtime::Builder) {
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

fn echo() {
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

mod noop {
    //! What `tonic-build` writes for a service of one method, whose handler does nothing.

    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use keyward::api::proto::{
        Access, Decision, ValidateCredentialsRequest, ValidateCredentialsResponse,
    };
    use tonic::body::Body;
    use tonic::codegen::Service;
    use tonic::server::{Grpc, NamedService, UnaryService};
    use tonic::{Request, Response, Status};
    use tonic_prost::ProstCodec;

    #[derive(Clone)]
    pub(super) struct Noop;

    impl NamedService for Noop {
        const NAME: &'static str = "bench.Noop";
    }

    type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    impl Service<http::Request<Body>> for Noop {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Answering;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Answering {
            Box::pin(async move {
                let codec = ProstCodec::default();
                Ok(Grpc::new(codec).unary(Method, request).await)
            })
        }
    }

    struct Method;

    impl UnaryService<ValidateCredentialsRequest> for Method {
        type Response = ValidateCredentialsResponse;
        type Future =
            Pin<Box<dyn Future<Output = Result<Response<Self::Response>, Status>> + Send>>;

        fn call(&mut self, _: Request<ValidateCredentialsRequest>) -> Self::Future {
            Box::pin(async {
                Ok(Response::new(ValidateCredentialsResponse {
                    decision: Decision::Allow.into(),
                    detail: "the credentials are good".into(),
                    token_id: "0123456789ABCDEFGHIJKL".into(),
                    token_name: "credential 123456".into(),
                    account_id: "bench".into(),
                    principal_id: "api".into(),
                    principal_name: "an API user".into(),
                    access: Access::Full.into(),
                    revision: 123_456_789,
                    ..Default::default()
                }))
            })
        }
    }
}
