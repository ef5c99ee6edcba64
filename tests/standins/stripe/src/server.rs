//! The server: who asks, for what, with which key, and what goes wrong on the way.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::book::{Account, Book, ChargeLine};
use crate::events::{self, Endpoint as Webhook};
use crate::faults::{Endpoint, Fault, Plan};
use crate::form::Form;
use crate::intents::Call;
use crate::keys::{Keys, Start};
use crate::render::{Answer, error};
use crate::{Authentication, NothingToDo};

/// All that a server knows.
#[derive(Debug)]
pub(crate) struct World {
    base_url: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    book: Book,
    keys: Keys,
    faults: Plan,
    webhooks: Vec<Webhook>,
    ahead_secs: i64,
}

impl World {
    pub(crate) fn new(base_url: String) -> Self {
        Self {
            base_url,
            inner: Mutex::default(),
        }
    }

    /// A panic in one request leaves books that are still worth reading.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        wall_secs() + self.inner().ahead_secs
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.inner().ahead_secs += i64::try_from(by.as_secs()).unwrap_or(0);
    }

    pub(crate) fn add_fault(&self, endpoint: Endpoint, fault: Fault) {
        self.inner().faults.add(endpoint, fault);
    }

    pub(crate) fn forget_faults(&self) {
        self.inner().faults = Plan::default();
    }

    pub(crate) fn add_webhook(&self, webhook: Webhook) {
        self.inner().webhooks.push(webhook);
    }

    pub(crate) fn charges(&self) -> Vec<ChargeLine> {
        self.inner().book.charge_lines()
    }

    pub(crate) fn payments(&self) -> usize {
        self.inner().book.intents.len()
    }

    pub(crate) fn refunds(&self) -> usize {
        self.inner().book.refunds.len()
    }

    pub(crate) fn authenticate(
        &self,
        id: &str,
        outcome: Authentication,
    ) -> Result<Option<String>, NothingToDo> {
        let now = self.now();
        self.inner()
            .book
            .authenticate(id, outcome, now)
            .ok_or(NothingToDo)
    }

    pub(crate) fn settle_refunds(&self) {
        self.inner().book.settle_refunds();
    }

    fn run(&self, asked: &Asked) -> Answer {
        let mut inner = self.inner();
        let now = wall_secs() + inner.ahead_secs;
        let call = Call {
            account: &asked.account,
            form: &asked.form,
            now,
            base_url: &self.base_url,
        };
        let (book, id) = (&mut inner.book, asked.id.as_str());
        let result = match asked.endpoint {
            Endpoint::Create => book.create(&call),
            Endpoint::Confirm => book.confirm(id, &call),
            Endpoint::Capture => book.capture(id, &call),
            Endpoint::Increment => book.increment(id, &call),
            Endpoint::Cancel => book.cancel(id, &call),
            Endpoint::Retrieve => book.retrieve(id, &call),
            Endpoint::Refund => book.refund(&call),
            Endpoint::RetrieveRefund => book.retrieve_refund(id, &call),
            Endpoint::ListRefunds => book.list_refunds(&call),
        };
        result.unwrap_or_else(|refused| refused)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a server of its own, which no clock of paymux's drives"
)]
fn wall_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Serves until the task ends. A connection is closed without an answer where a fault says so.
pub(crate) async fn serve(listener: TcpListener, world: Arc<World>) {
    let router = router(world);
    while let Ok((stream, _)) = listener.accept().await {
        let router = router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let router = router.clone();
            async move {
                let response = router
                    .oneshot(request.map(Body::new))
                    .await
                    .unwrap_or_else(|never: Infallible| match never {});
                if response.extensions().get::<Dropped>().is_some() {
                    Err(Dropped)
                } else {
                    Ok(response)
                }
            }
        });
        tokio::spawn(async move {
            // A connection that a fault closed, or that its client left, ends with an error that says nothing new.
            let _ended = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The connection closes without an answer.
#[derive(Clone, Copy, Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on demand")
    }
}

impl std::error::Error for Dropped {}

fn router(world: Arc<World>) -> Router {
    Router::new()
        .route(
            "/v1/payment_intents",
            post(|world, request| stripe(Endpoint::Create, world, None, request)),
        )
        .route(
            "/v1/payment_intents/{id}",
            get(|world, id, request| stripe(Endpoint::Retrieve, world, Some(id), request)),
        )
        .route(
            "/v1/payment_intents/{id}/confirm",
            post(|world, id, request| stripe(Endpoint::Confirm, world, Some(id), request)),
        )
        .route(
            "/v1/payment_intents/{id}/capture",
            post(|world, id, request| stripe(Endpoint::Capture, world, Some(id), request)),
        )
        .route(
            "/v1/payment_intents/{id}/increment_authorization",
            post(|world, id, request| stripe(Endpoint::Increment, world, Some(id), request)),
        )
        .route(
            "/v1/payment_intents/{id}/cancel",
            post(|world, id, request| stripe(Endpoint::Cancel, world, Some(id), request)),
        )
        .route(
            "/v1/refunds",
            post(|world, request| stripe(Endpoint::Refund, world, None, request))
                .get(|world, request| stripe(Endpoint::ListRefunds, world, None, request)),
        )
        .route(
            "/v1/refunds/{id}",
            get(|world, id, request| stripe(Endpoint::RetrieveRefund, world, Some(id), request)),
        )
        .route("/_pages/{id}", get(page))
        .route("/_faults", post(set_fault))
        .route("/_webhooks", post(set_webhook))
        .route("/_clock", post(set_clock))
        .route("/_refunds/settle", post(settle))
        .fallback(|| async {
            answer(error(
                404,
                "invalid_request_error",
                None,
                "Unrecognized request URL.",
            ))
        })
        .with_state(world)
}

/// A request to Stripe's own API.
struct Asked {
    endpoint: Endpoint,
    id: String,
    path: String,
    account: Account,
    form: Form,
    key: Option<String>,
}

async fn stripe(
    endpoint: Endpoint,
    State(world): State<Arc<World>>,
    id: Option<Path<String>>,
    request: Request,
) -> Response {
    let asked = match read(endpoint, id, request).await {
        Ok(asked) => asked,
        Err(refused) => return answer(refused),
    };
    // Once it is read, a request goes on even if its client goes away.
    let going_on = tokio::spawn(async move {
        let response = meet(&world, &asked).await;
        post_events(&world);
        response
    });
    going_on.await.unwrap_or_else(|_| dropped())
}

/// Processes a request as the fault that is planned for it wants it.
async fn meet(world: &Arc<World>, asked: &Asked) -> Response {
    let fault = world.inner().faults.take(asked.endpoint);
    match fault {
        None => answer(process(world, asked, None).await),
        Some(Fault::DropRequest) => dropped(),
        Some(Fault::DropAnswer) => {
            process(world, asked, None).await;
            dropped()
        }
        Some(Fault::Twice) => {
            process(world, asked, None).await;
            answer(process(world, asked, None).await)
        }
        Some(fault @ (Fault::ErrorBefore | Fault::ErrorAfter | Fault::Delay(_))) => {
            answer(process(world, asked, Some(fault)).await)
        }
        Some(Fault::RateLimit) => answer(error(
            429,
            "invalid_request_error",
            Some("rate_limit"),
            "Request rate limit exceeded.",
        )),
    }
}

/// Executes a request, or answers from its key.
async fn process(world: &Arc<World>, asked: &Asked, fault: Option<Fault>) -> Answer {
    let account = asked.account.name();
    if let Some(key) = &asked.key {
        let now = world.now();
        let started = world
            .inner()
            .keys
            .start(&account, key, &asked.path, &asked.form, now);
        if let Start::Known(known) = started {
            return known;
        }
    }
    let broken = || error(500, "api_error", None, "An unknown error occurred.").begun();
    let answer = match fault {
        Some(Fault::ErrorBefore) => broken(),
        Some(Fault::ErrorAfter) => {
            world.run(asked);
            broken()
        }
        Some(Fault::Delay(delay)) => {
            pause(delay).await;
            world.run(asked)
        }
        Some(Fault::DropRequest | Fault::DropAnswer | Fault::Twice | Fault::RateLimit) | None => {
            world.run(asked)
        }
    };
    if let Some(key) = &asked.key {
        world.inner().keys.finish(&account, key, &answer);
    }
    answer
}

async fn read(endpoint: Endpoint, id: Option<Path<String>>, request: Request) -> Result<Asked, Answer> {
    let (head, body) = request.into_parts();
    let key = secret_key(&head.headers).ok_or_else(|| {
        error(
            401,
            "invalid_request_error",
            None,
            "You did not provide a valid API key.",
        )
    })?;
    let text = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let malformed = || error(400, "invalid_request_error", None, "Invalid request.");
    let body = axum::body::to_bytes(body, 1 << 20)
        .await
        .map_err(|_| malformed())?;
    let is_form =
        text("content-type").is_none_or(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form && !body.is_empty() {
        return Err(error(
            400,
            "invalid_request_error",
            None,
            "Send a form (application/x-www-form-urlencoded).",
        ));
    }
    let fields = if head.method == axum::http::Method::GET {
        head.uri.query().unwrap_or_default()
    } else {
        std::str::from_utf8(&body).map_err(|_| malformed())?
    };
    Ok(Asked {
        endpoint,
        id: id.map(|Path(id)| id).unwrap_or_default(),
        path: head.uri.path().to_owned(),
        account: Account {
            key,
            connected: text("stripe-account"),
        },
        form: Form::read(fields).ok_or_else(malformed)?,
        key: text("idempotency-key").filter(|_| head.method == axum::http::Method::POST),
    })
}

/// The secret key, as a bearer's.
fn secret_key(headers: &HeaderMap) -> Option<String> {
    let key = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")?;
    (key.starts_with("sk_test_") || key.starts_with("rk_test_")).then(|| key.to_owned())
}

#[allow(
    clippy::disallowed_methods,
    reason = "a server of its own, which no clock of paymux's drives"
)]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn answer(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if answer.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

fn dropped() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Dropped);
    response
}

/// Starts the deliveries of what has happened since the last time.
pub(crate) fn post_events(world: &Arc<World>) {
    let mut inner = world.inner();
    let news = std::mem::take(&mut inner.book.events);
    for event in news {
        for webhook in &inner.webhooks {
            let clock = world.clone();
            tokio::spawn(events::deliver(webhook.clone(), event.clone(), move || {
                clock.now()
            }));
        }
    }
}

async fn page(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let form = Form::read(&query.unwrap_or_default()).unwrap_or_default();
    let outcome = match form.get("outcome") {
        Some("complete") => Authentication::Completed,
        Some("fail") => Authentication::Failed,
        _ => return "Authenticate: ?outcome=complete or ?outcome=fail".into_response(),
    };
    let back = world.authenticate(&id, outcome);
    post_events(&world);
    match back {
        Ok(Some(url)) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        Ok(None) => "Done.".into_response(),
        Err(NothingToDo) => (StatusCode::NOT_FOUND, "This payment waits for nothing.").into_response(),
    }
}

async fn set_fault(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let form = local_form(&body);
    let number = |name: &str| form.get(name).and_then(|value| value.parse::<u64>().ok());
    let delay = Duration::from_millis(number("delay_ms").unwrap_or(0));
    let endpoint = form.get("endpoint").and_then(Endpoint::parse);
    let fault = form.get("fault").and_then(|word| Fault::parse(word, delay));
    let (Some(endpoint), Some(fault)) = (endpoint, fault) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    for _ in 0..number("times").unwrap_or(1) {
        world.add_fault(endpoint, fault);
    }
    StatusCode::OK.into_response()
}

async fn set_webhook(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let form = local_form(&body);
    let (Some(url), Some(secret)) = (form.get("url"), form.get("secret")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    world.add_webhook(Webhook {
        url: url.to_owned(),
        secret: secret.to_owned(),
    });
    StatusCode::OK.into_response()
}

async fn set_clock(State(world): State<Arc<World>>, body: Bytes) -> Response {
    match local_form(&body)
        .get("seconds")
        .and_then(|value| value.parse().ok())
    {
        Some(seconds) => {
            world.advance(Duration::from_secs(seconds));
            StatusCode::OK.into_response()
        }
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn settle(State(world): State<Arc<World>>) -> Response {
    world.settle_refunds();
    post_events(&world);
    StatusCode::OK.into_response()
}

fn local_form(body: &Bytes) -> Form {
    std::str::from_utf8(body)
        .ok()
        .and_then(Form::read)
        .unwrap_or_default()
}
