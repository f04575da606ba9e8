//! One mapping expression, compiled once at load.

/// What a mapping's right-hand side says, compiled.
#[derive(Clone, Debug)]
pub struct Expression;

/// Where an expression is wrong: a byte offset and length within its text, for the caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpressionError {
    pub message: String,
    pub offset: usize,
    pub len: usize,
    pub help: Option<String>,
}
