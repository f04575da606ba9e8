//! Directory entry → desired attributes: templates, JMESPath, the defaults, the limits of the target, and who
//! keeps a name that several claim. Pure: what an expression may see is in the entry.

mod expression;
mod functions;
mod jmespath;
mod template;
mod view;

pub use expression::{AttributesNeeded, EvaluateError, Expression, ExpressionError, MAX_EXPRESSION};
pub use view::View;
