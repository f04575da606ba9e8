//! Reads the `Date` of every answer, also of refusals: the SDK keeps headers to itself otherwise.

use std::sync::Arc;

use aws_sdk_identitystore::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_identitystore::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;

use crate::target::clock::Clock;

#[derive(Debug)]
pub(super) struct Dates(pub Arc<Clock>);

impl Intercept for Dates {
    fn name(&self) -> &'static str {
        "Dates"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.see(context.response().headers().get("date"));
        Ok(())
    }
}
