//! Where a token is on its way between requests.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that a token is in, unless another place is named.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("millpond-token");

/// A header, or a cookie that is signed.
#[derive(Clone, Debug)]
pub(crate) enum Carrier {
    Header(HeaderName),
    #[cfg(feature = "cookie")]
    Cookie(Box<SignedCookie>),
}

/// What a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    Nothing,
    Text(String),
    /// Something that is no text, or that somebody else signed.
    Rubbish,
}

impl Carrier {
    pub(crate) fn brought(&self, headers: &HeaderMap) -> Brought {
        match self {
            Self::Header(name) => match headers.get(name).map(HeaderValue::to_str) {
                None => Brought::Nothing,
                Some(Ok(text)) => Brought::Text(text.to_owned()),
                Some(Err(_)) => Brought::Rubbish,
            },
            #[cfg(feature = "cookie")]
            Self::Cookie(cookie) => cookie.brought(headers),
        }
    }

    /// Has the client bring no more what is no use, where it would go on to.
    pub(crate) fn forget(&self, headers: &mut HeaderMap) {
        match self {
            Self::Header(_) => {}
            #[cfg(feature = "cookie")]
            Self::Cookie(cookie) => {
                headers.extend(cookie.removal().map(|value| (http::header::SET_COOKIE, value)));
            }
        }
        #[cfg(not(feature = "cookie"))]
        let _ = headers;
    }

    /// Puts a token into a response, if it is another than the request brought.
    pub(crate) fn bring(&self, token: &str, brought: &Brought, headers: &mut HeaderMap) {
        match self {
            Self::Header(name) => {
                if let Ok(value) = HeaderValue::from_str(token) {
                    headers.insert(name, value);
                }
            }
            #[cfg(feature = "cookie")]
            Self::Cookie(cookie) => {
                if *brought != Brought::Text(token.to_owned()) {
                    headers.extend(cookie.set(token).map(|value| (http::header::SET_COOKIE, value)));
                }
            }
        }
        #[cfg(not(feature = "cookie"))]
        let _ = brought;
    }
}

/// The name of a cookie, and who may write it.
#[cfg(feature = "cookie")]
#[derive(Clone, Debug)]
pub(crate) struct SignedCookie {
    pub(crate) name: String,
    pub(crate) key: cookie::Key,
    /// Whether it is sent over TLS alone.
    pub(crate) is_secure: bool,
}

#[cfg(feature = "cookie")]
impl SignedCookie {
    fn brought(&self, headers: &HeaderMap) -> Brought {
        // Of other cookies some may be no ASCII.
        let texts = headers
            .get_all(http::header::COOKIE)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let all = texts.flat_map(|text| cookie::Cookie::split_parse_encoded(text.into_owned()).flatten());
        let mut jar = cookie::CookieJar::new();
        let Some(found) = all.into_iter().find(|one| one.name() == self.name) else {
            return Brought::Nothing;
        };
        jar.add_original(found.into_owned());
        match jar.signed(&self.key).get(&self.name) {
            Some(cookie) => Brought::Text(cookie.value().to_owned()),
            None => Brought::Rubbish,
        }
    }

    /// Takes away what the client has, which is no use.
    fn removal(&self) -> Option<HeaderValue> {
        let mut cookie = cookie::Cookie::build(self.name.clone()).path("/").build();
        cookie.make_removal();
        HeaderValue::from_str(&cookie.encoded().to_string()).ok()
    }

    fn set(&self, token: &str) -> Option<HeaderValue> {
        let cookie = cookie::Cookie::build((self.name.clone(), token.to_owned()))
            .path("/")
            .http_only(true)
            .secure(self.is_secure)
            .same_site(cookie::SameSite::Lax);
        let mut jar = cookie::CookieJar::new();
        jar.signed_mut(&self.key).add(cookie);
        let signed = jar.get(&self.name)?;
        HeaderValue::from_str(&signed.encoded().to_string()).ok()
    }
}
