//! Pages of lists: the size, the token, and the filter that the token is bound to.

use prost::Message;

use crate::registry::Error;
use crate::registry::page::Page;

/// The page that a request asks for. `filter` is the request without its page.
pub(in crate::api) fn page(
    method: &'static str,
    size: i32,
    token: &str,
    filter: &impl Message,
) -> Result<Page, Error> {
    Ok(Page {
        size: Page::size(size)?,
        token: token.to_owned(),
        method,
        filter: filter.encode_to_vec(),
    })
}
