//! What a verb works with once the command line is read: a client, the output format and the surroundings.

use std::fmt;

use clap::Args;

use super::client::{Client, Want};
use super::connection::ConnectionArgs;
use super::failure::{Failure, Outcome};
use super::output::{Format, List, Listed, OutputArgs, Record, show};
use super::shell::Shell;

/// Items asked for in one call where the command line does not say.
const PAGE_SIZE: i32 = 100;

/// The flags of every verb that speaks to a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct RemoteArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How much of a list to fetch.
#[derive(Args, Clone, Debug)]
pub(crate) struct PagingArgs {
    /// Stop after this many items [default: all].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,

    /// Items fetched by one call; the server takes at most 1000.
    #[arg(long, value_name = "COUNT", default_value_t = PAGE_SIZE, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) page_size: i32,
}

/// Which page to fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    pub(crate) size: i32,
    pub(crate) token: String,
}

pub(crate) struct Session<'s, 'a> {
    pub(crate) client: Client,
    pub(crate) format: Format,
    pub(crate) shell: &'s mut Shell<'a>,
}

impl Session<'_, '_> {
    /// Prints one record.
    pub(crate) fn show<T: Record>(&mut self, record: &T) -> Result<Outcome, Failure> {
        show(record, self.format, self.shell.stdout)?;
        Ok(Outcome::Success)
    }

    /// Prints the record that an answer must hold.
    pub(crate) fn show_some<T: Record>(&mut self, record: Option<T>) -> Result<Outcome, Failure> {
        self.show(&required(record)?)
    }

    /// Says that something was done which leaves nothing to print: a line for a person, `{}` for a script.
    pub(crate) fn done(&mut self, line: &str) -> Result<Outcome, Failure> {
        let line = if self.format.is_json() { "{}" } else { line };
        writeln!(self.shell.stdout, "{line}")?;
        Ok(Outcome::Success)
    }

    /// Fetches and prints a list, page by page.
    pub(crate) async fn list<T: Listed>(
        &mut self,
        paging: &PagingArgs,
        mut fetch: impl AsyncFnMut(Page) -> Result<(Vec<T>, String), Failure>,
    ) -> Result<Outcome, Failure> {
        let size = paging.page_size;
        let size = paging.limit.map_or(size, |limit| {
            size.min(i32::try_from(limit).unwrap_or(i32::MAX))
        });
        let mut left = paging.limit.unwrap_or(u64::MAX);
        let mut list = List::new::<T>(self.format, self.shell.stdout);
        let fetch_page = async |token| fetch(Page { size, token }).await;
        let each = |item: T| {
            left -= 1;
            let want = list.push(&item)?;
            Ok(if left == 0 { Want::NoMore } else { want })
        };
        self.client.pages(fetch_page, each).await?;
        list.finish()?;
        Ok(Outcome::Success)
    }
}

impl fmt::Debug for Session<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Connects as the flags say and runs the verb.
pub(crate) fn with_session(
    remote: &RemoteArgs,
    shell: &mut Shell<'_>,
    verb: impl AsyncFnOnce(&mut Session<'_, '_>) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let connection = remote.connection.resolve(shell)?;
    block_on(async {
        let client = Client::connect(connection).await?;
        let format = remote.output.output;
        verb(&mut Session {
            client,
            format,
            shell,
        })
        .await
    })
}

/// Runs on this thread alone.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("cannot start: {error}")))?;
    let result = runtime.block_on(future);
    // A name that is still being looked up must not hold up the answer.
    runtime.shutdown_background();
    result
}

/// What an answer must hold by the contract.
pub(crate) fn required<T>(part: Option<T>) -> Result<T, Failure> {
    part.ok_or_else(|| Failure::broken_answer("the answer lacks what it should hold"))
}
