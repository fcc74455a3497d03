//! Which route a request takes.

use http::Method;
use om_model::service::ServiceErrorCode as Code;
use om_model::service::routes::{Endpoint, ROUTES, Route};

/// The route of a request, or the error of one that has none: 501 for a
/// method other than GET and POST, else 404.
pub(crate) fn find(method: &Method, path: &str) -> Result<Endpoint, Code> {
    if method != Method::GET && method != Method::POST {
        return Err(Code::NotImplemented);
    }
    let matches = |route: &&Route| route.method.as_str() == method && route.path == path;
    let found = ROUTES.iter().find(matches);
    found.map(|route| route.endpoint).ok_or(Code::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_exactly_and_with_their_own_method() {
        for route in ROUTES {
            for method in [Method::GET, Method::POST] {
                let is_its_own = route.method.as_str() == method;
                let expected = if is_its_own {
                    Ok(route.endpoint)
                } else {
                    Err(Code::NotFound)
                };
                assert_eq!(find(&method, route.path), expected);
                let slash = format!("{}/", route.path);
                assert_eq!(find(&method, &slash), Err(Code::NotFound));
            }
        }
        assert_eq!(find(&Method::GET, "/"), Err(Code::NotFound));
    }

    #[test]
    fn other_methods_are_not_implemented_whatever_the_path() {
        for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(find(&method, "/healthz"), Err(Code::NotImplemented));
            assert_eq!(find(&method, "/nowhere"), Err(Code::NotImplemented));
        }
    }
}
