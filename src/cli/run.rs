//! `idcsync run`: the long-running service.

use super::{Context, Exit};
use crate::cycle::chain;
use crate::service::{ServiceError, serve};

pub async fn run(context: &Context) -> Exit {
    match start(context).await {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

async fn start(context: &Context) -> Result<(), Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    serve(context.global.config.clone(), config).await.map_err(|error| {
        context.complain(&format!("error: {}", chain(&error)));
        match error {
            ServiceError::Listen { .. } => Exit::Usage,
            ServiceError::Signals(_) | ServiceError::Metrics(_) | ServiceError::Worker(_) => Exit::Unexpected,
        }
    })
}
