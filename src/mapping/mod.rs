//! Directory entry → desired attributes: templates, JMESPath, the defaults, the limits of the target, and who
//! keeps a name that several claim. Pure: what an expression may see is in the entry.

mod claims;
mod defaults;
mod expression;
mod functions;
mod jmespath;
mod limits;
mod mapped;
mod subject;
mod template;
mod trace;
mod view;

pub use claims::{Claimed, resolve_claims};
pub use expression::{AttributesNeeded, EvaluateError, Expression, ExpressionError, MAX_EXPRESSION};
pub use limits::{
    Breach, MAX_EXTERNAL_ID, MAX_TEXT, MAX_USER_NAME, Problem, RESERVED, check_group, check_user, is_address,
};
pub use mapped::{MappedGroup, MappedUser, Mapping};
pub use trace::Traced;
pub use view::View;
