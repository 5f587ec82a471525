//! `token update`: each flag sets one field and names it in the mask.

use chrono::{DateTime, Utc};
use clap::Args;

use crate::api::proto::{Access, Token, UpdateTokenRequest};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::session::Session;
use crate::cli::times::{Expiry, parse_expiry, to_timestamp};
use crate::cli::values::{
    Limit, Mask, Rate, labels, parse_count_limit, parse_id, parse_label, parse_rate_limit,
};
use crate::cli::words::choice;

/// Change what is named, leave the rest.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward token update 4bQ0… --name 'Order sync 2' --expires 180d
  keyward token update 4bQ0… --grant tables/orders:read --grant dispatch     replaces all grants
  keyward token update 4bQ0… --clear-labels --expires never")]
pub(crate) struct UpdateArgs {
    /// Id of the token.
    #[arg(value_name = "TOKEN_ID", value_parser = parse_id)]
    pub(crate) token_id: String,

    /// New name, 1 to 200 characters.
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// New description; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,

    /// New principal; an empty id removes it.
    #[arg(long, value_name = "ID")]
    pub(crate) principal: Option<String>,

    /// What it may do at most.
    #[arg(long, value_parser = choice::<Access>())]
    pub(crate) access: Option<Access>,

    /// Grant, in place of all it has; may be repeated.
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<String>,

    /// Remove all grants: it may do all that its principal may.
    #[arg(long, conflicts_with = "grants")]
    pub(crate) clear_grants: bool,

    /// Network, in place of all it has; may be repeated.
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,

    /// Remove all networks: callers may come from anywhere.
    #[arg(long, conflicts_with = "networks")]
    pub(crate) clear_networks: bool,

    /// Calls in a span that it may be used for at most, such as 100/1s, or none for no limit.
    #[arg(long, value_name = "CALLS/SPAN", value_parser = parse_rate_limit)]
    pub(crate) rate_limit: Option<Limit<Rate>>,

    /// Calls of the new rate limit that may come at once after a pause [default: all of a span's].
    #[arg(long, value_name = "CALLS", requires = "rate_limit")]
    pub(crate) burst: Option<u32>,

    /// Connections that it may hold at once, or none: as its account's policy says.
    #[arg(long, value_name = "COUNT", value_parser = parse_count_limit)]
    pub(crate) max_connections: Option<Limit<u32>>,

    /// Label key=value, in place of all it has; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,

    /// Remove all labels.
    #[arg(long, conflicts_with = "labels")]
    pub(crate) clear_labels: bool,

    /// When it stops being good: a time, a date (00:00 UTC as it begins), a span from now such as 90d, or never.
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    pub(crate) expires: Option<Expiry>,

    /// Only if this is still the token's etag.
    #[arg(long)]
    pub(crate) etag: Option<String>,
}

impl UpdateArgs {
    pub(crate) fn request(&self, now: DateTime<Utc>) -> Result<UpdateTokenRequest, Failure> {
        let mut mask = Mask::default();
        let labels = labels(&self.labels)?;
        let relabel = (self.clear_labels || !labels.is_empty()).then_some(labels);
        let token = Token {
            id: self.token_id.clone(),
            etag: self.etag.clone().unwrap_or_default(),
            name: mask.set("name", self.name.clone()).unwrap_or_default(),
            description: mask
                .set("description", self.description.clone())
                .unwrap_or_default(),
            principal_id: mask
                .set("principal_id", self.principal.clone())
                .unwrap_or_default(),
            access: mask.set("access", self.access).map_or(0, Into::into),
            grants: mask.set_list("grants", &self.grants, self.clear_grants),
            allowed_networks: mask.set_list(
                "allowed_networks",
                &self.networks,
                self.clear_networks,
            ),
            rate_limit: mask
                .set("rate_limit", self.rate_limit)
                .and_then(Limit::at)
                .map(|rate| rate.wire(self.burst)),
            max_connections: mask
                .set("max_connections", self.max_connections)
                .and_then(Limit::at)
                .unwrap_or_default(),
            labels: mask.set("labels", relabel).unwrap_or_default(),
            expire_time: match mask.set("expire_time", self.expires) {
                Some(Expiry::On(moment)) => Some(to_timestamp(moment.ahead_of(now))),
                Some(Expiry::Never) | None => None,
            },
            ..Token::default()
        };
        Ok(UpdateTokenRequest {
            token: Some(token),
            update_mask: Some(mask.finish()?),
        })
    }

    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request(session.shell.now())?;
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.credentials().update_token(r).await
            })
            .await?;
        session.show_some(answer.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{NOW, parse, try_parse};
    use crate::cli::values::show_rate;

    fn request(line: &str) -> (Token, Vec<String>) {
        let request = parse::<UpdateArgs>(line).request(NOW()).unwrap();
        (request.token.unwrap(), request.update_mask.unwrap().paths)
    }

    #[test]
    fn each_flag_names_its_own_path() {
        for (flags, path) in [
            ("--name x", "name"),
            ("--description=", "description"),
            ("--principal p1", "principal_id"),
            ("--access full", "access"),
            ("--grant dispatch", "grants"),
            ("--clear-grants", "grants"),
            ("--network 10.0.0.0/8", "allowed_networks"),
            ("--clear-networks", "allowed_networks"),
            ("--rate-limit 100/1s --burst 20", "rate_limit"),
            ("--rate-limit none", "rate_limit"),
            ("--max-connections 3", "max_connections"),
            ("--max-connections none", "max_connections"),
            ("--label a=b", "labels"),
            ("--clear-labels", "labels"),
            ("--expires 1d", "expire_time"),
            ("--expires never", "expire_time"),
        ] {
            let (token, paths) = request(&format!("t1 --etag e1 {flags}"));
            assert_eq!(paths, [path], "{flags}");
            assert_eq!((token.id.as_str(), token.etag.as_str()), ("t1", "e1"));
        }
    }

    #[test]
    fn values_go_where_their_paths_say() {
        let (token, _) = request(
            "t1 --name x --principal p1 --access read-only --grant dispatch --network ::1/128 --rate-limit 100/1s --burst 20 \
             --max-connections 3 --label a=b --expires 1d",
        );
        assert_eq!(token.name, "x");
        assert_eq!(token.principal_id, "p1");
        assert_eq!(token.access, i32::from(Access::ReadOnly));
        assert_eq!(token.grants, ["dispatch"]);
        assert_eq!(token.allowed_networks, ["::1/128"]);
        assert_eq!(show_rate(token.rate_limit.as_ref()), "100/1s, burst 20");
        assert_eq!(token.max_connections, 3);
        assert_eq!(token.labels["a"], "b");
        assert_eq!(
            token.expire_time.unwrap().seconds,
            NOW().timestamp() + 86_400
        );
        assert_eq!(request("t1 --expires never").0.expire_time, None);
        assert_eq!(request("t1 --rate-limit none").0.rate_limit, None);
        assert_eq!(request("t1 --max-connections none").0.max_connections, 0);
        assert!(try_parse::<UpdateArgs>("t1 --burst 20").is_err());
    }

    #[test]
    fn an_update_of_nothing_is_a_mistake() {
        let failure = parse::<UpdateArgs>("t1").request(NOW()).unwrap_err();
        assert_eq!(failure.code, "USAGE");
    }
}
