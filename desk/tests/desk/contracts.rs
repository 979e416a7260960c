//! The OpenAPI documents against what the desk really answers.

use graphwarden_stand::{Issuer, Person};
use serde_json::{Value, json};

use crate::room::{Room, ask};

/// Checks a value against a schema of a document, as far as our documents use JSON Schema. An unknown keyword
/// is a failure, so that nothing in a document goes unchecked.
pub(crate) fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.strip_prefix('#').unwrap()).expect(reference);
        return fits(document, target, value, at);
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" => {
                let allowed: Vec<&str> = match rule {
                    Value::Array(words) => words.iter().map(|word| word.as_str().unwrap()).collect(),
                    word => vec![word.as_str().unwrap()],
                };
                let found = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                assert!(allowed.contains(&found), "{at} is {found}, not {allowed:?}: {value}");
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    assert!(value.get(name.as_str().unwrap()).is_some(), "{at} lacks {name}: {value}");
                }
            }
            "properties" => {
                // Members of answers are all documented.
                for (name, member) in value.as_object().unwrap() {
                    let known = rule.get(name).or_else(|| {
                        schema
                            .get("additionalProperties")
                            .filter(|more| **more != false)
                            .map(|_| &Value::Null)
                    });
                    let known = known.unwrap_or_else(|| panic!("{at}.{name} is not documented"));
                    if known.is_object() {
                        fits(document, known, member, &format!("{at}.{name}"));
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().unwrap().iter().enumerate() {
                    fits(document, rule, item, &format!("{at}[{index}]"));
                }
            }
            "enum" => assert!(rule.as_array().unwrap().contains(value), "{at} is {value}"),
            "const" => assert_eq!(rule, value, "{at}"),
            "minimum" => assert!(value.as_i64() >= rule.as_i64(), "{at}"),
            "maximum" => assert!(value.as_i64() <= rule.as_i64(), "{at}"),
            "minLength"
            | "maxLength"
            | "minItems"
            | "pattern"
            | "format"
            | "description"
            | "default"
            | "not"
            | "additionalProperties" => {}
            unknown => panic!("the test does not know the keyword {unknown}"),
        }
    }
}

pub(crate) fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    document.pointer(&format!("/components/schemas/{name}")).expect(name)
}

#[tokio::test]
async fn answers_are_as_documented() {
    let issuer = Issuer::start().await.unwrap();
    let room = Room::with_people(&issuer).await;
    let document = room.get("/openapi.json").await.json();
    fits(&document, schema(&document, "Ask"), &ask("x1"), "ask");
    let pending = room.ask(&ask("x1")).await.json();
    fits(&document, schema(&document, "Answer"), &pending, "answer");
    let id = pending["id"].as_str().unwrap();
    let token = issuer.token(Person::Manager);
    let decided = room
        .call(
            &token,
            "POST",
            &format!("/v1/approvals/{id}/decisions"),
            Some(json!({"decision": "approve", "comment": "c"})),
        )
        .await
        .json();
    fits(&document, schema(&document, "Approval"), &decided, "approval");
    fits(&document, schema(&document, "Answer"), &room.ask(&ask("x1")).await.json(), "answer");
    let list = room.call(&token, "GET", "/v1/approvals", None).await.json();
    let list_schema = document
        .pointer("/paths/~1v1~1approvals/get/responses/200/content/application~1json/schema")
        .unwrap();
    fits(&document, list_schema, &list, "list");
    fits(&document, schema(&document, "Problem"), &room.get("/nothing").await.json(), "problem");
    let mut past = ask("x2");
    past["asks"]["break_glass"] = json!({"reason": "ticket 7"});
    let past = room.ask(&past).await.json();
    fits(&document, schema(&document, "Answer"), &past, "past");
    let path = format!("/v1/approvals/{}/review", past["id"].as_str().unwrap());
    let review = json!({"verdict": "objected", "comment": "no ticket 7"});
    let reviewed = room.call(&token, "POST", &path, Some(review)).await.json();
    fits(&document, schema(&document, "Approval"), &reviewed, "reviewed");
    let mut seats = ask("x3");
    seats["asks"]["all_of"] = json!([{"approver": "role:manager", "count": 1}]);
    let id = room.ask(&seats).await.json()["id"].as_str().unwrap().to_owned();
    let seated = room.call(&token, "GET", &format!("/v1/approvals/{id}"), None).await.json();
    fits(&document, schema(&document, "Approval"), &seated, "seated");
    let lines = crate::evidence::lines("one", 2);
    let acknowledged = room.hand_in(lines.join(&b'\n')).await.json();
    fits(&document, schema(&document, "Acknowledged"), &acknowledged, "acknowledged");
}

#[tokio::test]
async fn every_documented_route_is_there_and_asks_for_a_token() {
    let room = Room::open().await;
    let document = room.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 8);
    for (path, methods) in paths {
        for (method, operation) in
            methods.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters")
        {
            let request = axum::http::Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(path.replace("{id}", "none"))
                .body(axum::body::Body::empty())
                .unwrap();
            let reply = room.send(request).await;
            let expected = if operation["security"][0].get("gateway").is_some() {
                "gateway_token"
            } else {
                "no_provider"
            };
            assert_eq!(reply.reason(), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_documents_hold_no_dangling_reference() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
                }
                members.values().for_each(|member| walk(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let room = Room::open().await;
    for path in ["/openapi.json", "/docs/approvals.openapi.json", "/docs/evidence.openapi.json"] {
        let document = room.get(path).await.json();
        assert_eq!(document["openapi"], "3.1.0");
        walk(&document, &document);
    }
}
