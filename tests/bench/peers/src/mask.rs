//! Masking as an ext_proc server: what it is sent of a response's body comes back masked, chunk by chunk, with the
//! filter's own transducer, so that a value that is split over two chunks is masked too.
//!
//! Envoy is told to send nothing but the body of responses, of which this server takes it that it is JSON: there is no
//! faster way to ask.

use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::ExternalProcessor;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_request::Request as Part;
use envoy_types::pb::envoy::service::ext_proc::v3::processing_response::Response as Answer;
use envoy_types::pb::envoy::service::ext_proc::v3::{
    BodyMutation, BodyResponse, CommonResponse, HeadersResponse, HttpBody, ProcessingRequest,
    ProcessingResponse, TrailersResponse, body_mutation::Mutation,
};
use futures::Stream;
use graphwarden_policies::masking::{Masker, Media, Plan};
use graphwarden_policies::policy::Policy;
use tonic::{Request, Response, Status, Streaming};

/// Answers Envoy's streams, one for each exchange.
pub(crate) struct Processor {
    plan: Plan,
}

impl Processor {
    /// Masks as the policy says for everyone.
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        Self { plan: policy.masking.plan(None) }
    }
}

#[tonic::async_trait]
impl ExternalProcessor for Processor {
    type ProcessStream = Pin<Box<dyn Stream<Item = Result<ProcessingResponse, Status>> + Send>>;

    async fn process(
        &self,
        request: Request<Streaming<ProcessingRequest>>,
    ) -> Result<Response<Self::ProcessStream>, Status> {
        let masker = self.plan.open(Media::Json);
        let parts =
            futures::stream::try_unfold((request.into_inner(), masker), |(mut parts, mut masker)| async {
                let Some(part) = parts.message().await? else { return Ok(None) };
                let answer = answer(part.request, &mut masker)?;
                let answer = ProcessingResponse { response: Some(answer), ..ProcessingResponse::default() };
                Ok(Some((answer, (parts, masker))))
            });
        Ok(Response::new(Box::pin(parts)))
    }
}

fn answer(part: Option<Part>, masker: &mut Masker) -> Result<Answer, Status> {
    Ok(match part {
        Some(Part::ResponseBody(body)) => Answer::ResponseBody(masked(&body, masker)?),
        Some(Part::RequestBody(_)) => Answer::RequestBody(BodyResponse::default()),
        Some(Part::RequestHeaders(_)) => Answer::RequestHeaders(HeadersResponse::default()),
        Some(Part::ResponseHeaders(_)) => Answer::ResponseHeaders(HeadersResponse::default()),
        Some(Part::RequestTrailers(_)) => Answer::RequestTrailers(TrailersResponse::default()),
        Some(Part::ResponseTrailers(_)) => Answer::ResponseTrailers(TrailersResponse::default()),
        None => return Err(Status::invalid_argument("nothing was sent")),
    })
}

fn masked(body: &HttpBody, masker: &mut Masker) -> Result<BodyResponse, Status> {
    let cut = |cut: graphwarden_policies::masking::Cut| Status::failed_precondition(cut.why);
    let mut output = Vec::with_capacity(body.body.len() + 256);
    masker.push(&body.body, &mut output).map_err(cut)?;
    if body.end_of_stream {
        masker.finish(&mut output).map_err(cut)?;
    }
    let response = CommonResponse {
        body_mutation: Some(BodyMutation { mutation: Some(Mutation::Body(output)) }),
        ..CommonResponse::default()
    };
    Ok(BodyResponse { response: Some(response) })
}
