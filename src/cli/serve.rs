//! `serve`: a node until it is told to stop; with `--dev` one in a temporary directory that shows what it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dev;
use super::failure::{Failure, Outcome};
use super::shell::Shell;
use crate::clock::SystemClock;
use crate::config::{Config, ServeArgs};
use crate::random::SystemRandom;
use crate::server::node::{Node, World};
use crate::server::operator::token_file;
use crate::server::{Listeners, Signals};
use crate::telemetry;

/// The machine's clock and randomness.
pub(crate) fn world() -> World {
    World {
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    }
}

pub(crate) fn serve(args: &ServeArgs, shell: &mut Shell<'_>) -> Result<Outcome, Failure> {
    let config = args
        .clone()
        .resolve()
        .map_err(|why| Failure::usage(why.to_string()))?;
    let _flush = telemetry::init(config.log_format, config.log_level)
        .map_err(|error| Failure::local(error.to_string()))?;
    let data = DataDir::of(&config)?;
    let node = Node::open(&config, data.path(), world())
        .map_err(|error| Failure::local(error.to_string()))?;
    if let Some(operator) = &node.first_operator {
        tracing::info!(token = %operator.token, file = %operator.file.display(), "made the first operator");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::local(error.to_string()))?;
    let served = runtime.block_on(run(node, &config, data.path(), shell));
    served.map(|()| Outcome::Success)
}

async fn run(
    node: Node,
    config: &Config,
    data_dir: &Path,
    shell: &mut Shell<'_>,
) -> Result<(), Failure> {
    let local = |error: std::io::Error| Failure::local(error.to_string());
    let signals = Signals::catch().map_err(local)?;
    let listeners = Listeners::bind(config.listen, config.side_listen)
        .await
        .map_err(local)?;
    let address = listeners.address().map_err(local)?;
    let side = listeners.side_address().map_err(local)?;
    tracing::info!(%address, %side, data_dir = %data_dir.display(), environment = config.environment.as_str(), "listening");
    if config.dev {
        let sample = dev::prepare(&node.desk).await?;
        let operator_file = token_file(config, data_dir);
        let serving = node.run(listeners, config, async { signals.first().await });
        let shown = async {
            if let Err(failure) = dev::show(address, &operator_file, sample, shell).await {
                shell.note(&failure.to_text());
            }
        };
        let (served, ()) = tokio::join!(serving, shown);
        return served.map_err(local);
    }
    node.run(listeners, config, async { signals.first().await })
        .await
        .map_err(local)
}

/// The data directory: a lasting one, or one that goes with the process.
enum DataDir {
    Lasting(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataDir {
    fn of(config: &Config) -> Result<Self, Failure> {
        match &config.data_dir {
            Some(dir) => Ok(Self::Lasting(dir.clone())),
            None => {
                let made = tempfile::Builder::new().prefix("keyward-dev-").tempdir();
                made.map(Self::Temporary)
                    .map_err(|error| Failure::local(error.to_string()))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Lasting(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}
