//! Directory entry → desired attributes: templates, JMESPath, and the defaults.

mod expression;

pub use expression::{Expression, ExpressionError};
