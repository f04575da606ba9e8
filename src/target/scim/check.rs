//! What can be said of the endpoint without changing it.

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;

use super::ScimTarget;
use super::failure::{On, renew};
use super::list::Paging;
use super::request::Ask;
use crate::model::{CheckLine, Kind};
use crate::target::pacing::Repeat;
use crate::target::{TargetError, TargetErrorKind};

const ENDPOINT: &str = "SCIM endpoint";
const EXPIRY: &str = "SCIM token expiry";

/// Time enough to make a new token: AWS itself reminds 90 days before, in its console only.
const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

impl ScimTarget {
    /// The endpoint, the token, and the permissions to read; what rests on something that fails is left out.
    pub(in crate::target) async fn check_lines(&self, now: Timestamp) -> Vec<CheckLine> {
        let mut lines: Vec<CheckLine> = self.token_expires.map(|at| expiry(at, now)).into_iter().collect();
        let ask = Ask {
            operation: "scim:ServiceProviderConfig",
            repeat: Repeat::Read,
            on: On::Endpoint,
            method: Method::GET,
            url: self.url(&["ServiceProviderConfig"]),
            body: None,
        };
        match self.send(&ask).await {
            Ok(answer) if answer.get("schemas").is_some() => {
                lines.push(CheckLine::ok(ENDPOINT, "reached, and the token is accepted"));
            }
            Ok(_) => {
                let detail = "something answers, and not as a SCIM endpoint does";
                lines.push(CheckLine::fail(ENDPOINT, detail, "check `scim.url` in [target]"));
                return lines;
            }
            Err(e) => {
                lines.push(self.fail(ENDPOINT, &e));
                return lines;
            }
        }
        lines.extend(self.check_list(Kind::User).await);
        lines.extend(self.check_list(Kind::Group).await);
        lines
    }

    async fn check_list(&self, kind: Kind) -> Vec<CheckLine> {
        let (reading, listing) = match kind {
            Kind::User => ("reading users over SCIM", "listing users over SCIM"),
            Kind::Group => ("reading groups over SCIM", "listing groups over SCIM"),
        };
        let page = match self.page(kind, None, None).await {
            Ok(page) => page,
            Err(e) => return vec![self.fail(reading, &e)],
        };
        let mut lines = vec![CheckLine::ok(reading, "allowed")];
        if page.resources.len() < 2 && page.next.is_none() {
            // Too few to show pages.
            return lines;
        }
        lines.push(match self.paging(kind).await {
            Ok(Paging::Cursor) => CheckLine::ok(listing, "page by page, by cursor"),
            Ok(Paging::Totals | Paging::Silent) => CheckLine::warn(
                listing,
                "one page, and no cursor to the rest",
                "nothing to do as long as there are few: users and groups are asked for one by one, and a full cycle \
                 (`--full`) cannot read everything back",
            ),
            Err(e) => self.fail(listing, &e),
        });
        lines
    }

    fn fail(&self, name: &str, error: &TargetError) -> CheckLine {
        let remedy = match error.kind {
            TargetErrorKind::AccessDenied => match error.code.as_str() {
                "TokenUnreadable" => "put the token where `scim.token-file` or `scim.token-env` says".to_owned(),
                _ => renew(&self.token),
            },
            TargetErrorKind::Throttled => "other callers use up the account's rate; try again later".to_owned(),
            _ if error.code == "Unreachable" => {
                "check the network, the proxy and `scim.url`: the endpoint must be reachable over HTTPS".to_owned()
            }
            _ => "check `scim.url` in [target]: Automatic provisioning in IAM Identity Center's settings shows it"
                .to_owned(),
        };
        CheckLine::fail(name, format!("{}: {}", error.code, error.message), remedy)
    }
}

fn expiry(at: Timestamp, now: Timestamp) -> CheckLine {
    let remedy = "generate a second token in IAM Identity Center (Settings, Automatic provisioning), put it in the \
                  place of this one, and set `token-expires`";
    let left = at.duration_since(now);
    if left <= SignedDuration::ZERO {
        CheckLine::fail(EXPIRY, format!("the token has ended at {at}, by `token-expires`"), remedy)
    } else if left <= WARN_BEFORE {
        let days = left.as_hours() / 24;
        CheckLine::warn(EXPIRY, format!("the token ends in {days} days, at {at}"), remedy)
    } else {
        CheckLine::ok(EXPIRY, format!("the token ends at {at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckState;

    #[test]
    fn a_token_that_ends_soon_is_a_warning_and_one_that_has_ended_a_failure() {
        let now: Timestamp = "2027-09-15T00:00:00Z".parse().unwrap();
        let of = |at: &str| expiry(at.parse().unwrap(), now);
        assert_eq!(of("2027-12-01T00:00:00Z").state, CheckState::Ok);
        let soon = of("2027-10-01T00:00:00Z");
        assert_eq!(soon.state, CheckState::Warn);
        assert!(soon.detail.contains("in 16 days"), "{}", soon.detail);
        assert_eq!(of("2027-10-15T00:00:01Z").state, CheckState::Ok);
        assert_eq!(of("2027-10-15T00:00:00Z").state, CheckState::Warn);
        assert_eq!(of("2027-09-15T00:00:00Z").state, CheckState::Fail);
    }
}
