//! Stub.
use super::api::Api;
use super::update::Press;
use crate::desk::Desk;

pub(super) async fn pressed(_desk: &Desk, _api: &Api, _press: &Press, _is_owner: bool) {}
