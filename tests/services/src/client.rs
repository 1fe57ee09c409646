//! A client of a service.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// In which header a service that has sessions takes and gives a token.
const TOKEN: &str = "millpond-token";

/// Whoever calls a service. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// What a service answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where the next request has to show what this one wrote, if the service says so.
    pub token: Option<String>,
    /// The body as it came.
    pub text: String,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self { http: reqwest::Client::new(), base: format!("http://{address}") }
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// The same as one who has had another answer: with its token, where the service gave one.
    pub async fn get_behind(&self, answer: &Answer, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        send(match &answer.token {
            Some(token) => request.header(TOKEN, token),
            None => request,
        })
        .await
    }

    /// Asks for a path as a tenant.
    pub async fn get_as(&self, tenant: &str, path: &str) -> Answer {
        send(self.request(Method::GET, path).header("x-tenant", tenant)).await
    }

    /// Sends what a service is to take.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// The same as a tenant.
    pub async fn post_as(&self, tenant: &str, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).header("x-tenant", tenant).json(body)).await
    }

    /// Sends lines of values.
    pub async fn post_csv(&self, path: &str, csv: &str) -> Answer {
        send(self.request(Method::POST, path).header(CONTENT_TYPE, "text/csv").body(csv.to_owned())).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}

async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the service answers");
    let token =
        response.headers().get(TOKEN).map(|token| token.to_str().expect("a token is text").to_owned());
    let status = response.status().as_u16();
    Answer { status, token, text: response.text().await.expect("the service sends all of its answer") }
}

impl Answer {
    /// The body as a value.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// The number of what was created.
    ///
    /// # Panics
    ///
    /// When nothing was.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.json()["id"].as_i64().unwrap_or_else(|| panic!("no number in {self:?}"))
    }
}
