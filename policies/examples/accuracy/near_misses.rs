//! Texts that hold no value: identifiers, times, hashes, versions, amounts, prose.

use super::random::Random;

/// Shapes of what is no value, as they stand in traces, tickets and tables.
const SHAPES: &[&str] = &[
    "order #########",
    "order ################",
    "id ##################",
    "message §##################",
    "ean #############",
    "Order #§####-#####",
    "invoice INV-2026-######",
    "tracking 1Z~~§###~~########",
    "tracking number 9400 1### #### #### #### ##",
    "ticket JIRA-####",
    "~~~~~~~~-~~~~-4~~~-8~~~-~~~~~~~~~~~~",
    "thread_id: ~~~~~~~~-~~~~-6~~~-9~~~-~~~~~~~~~~~~",
    "run--~~~~~~~~-~~~~-4~~~-8~~~-~~~~~~~~~~~~-0",
    "2026-0§-1#T1#:2#:3#.######+00:00",
    "2026-0§-1# 1#:2#:3#",
    "1763######",
    "1763#########",
    "1763############",
    "12:34:56.###",
    "version §.1#.#",
    "v#.##.#-rc#",
    "Python 3.1#.#",
    "0.################",
    "#.####e-0#",
    "$#,###.##",
    "€##.###,##",
    "##.# %",
    "sha256:~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "commit ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "etag \"~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\"",
    "(##.####, -##.####)",
    "ISBN 978-#-##-######-#",
    "pages ###-###",
    "room ####",
    "std::vec::Vec",
    "foo::bar()",
    "key: value",
    "x = y",
    "f@g",
    "@handle",
    "user @ home",
    "step ## of ###",
    "token count: ####",
    "max_tokens=####",
    "input_tokens: ###, output_tokens: ###",
    "temperature=0.#",
    "password: required",
    "password reset",
    "secret santa",
    "checkpoint_ns: ~~~~~~~~",
    "trace_id=~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    "00-~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~-~~~~~~~~~~~~~~~~-01",
    "#### ####",
    "### ###",
    "zip §####-####",
    "sku ####-###",
    "lc_run--~~~~~~~~",
    "call_~~~~~~~~~~~~~~~~~~~~~~~~",
    "gpt-4o-2024-08-06",
    "claude-sonnet-4-20250514",
    "chatcmpl-~~~~~~~~~~~~~~~~~~~~~~~~~",
    "sk-learn",
    "the meeting is on 12 March 2026",
    "due 2026-03-12",
    "3.14159265358979",
    "192.168.1",
    "256.300.1.1",
    "1.2.3",
    "ratio 16:9",
    "10:30-11:45",
    "aa:bb",
    "Chapter 1.2.3.4",
    "score ##/##",
    "row ######",
    "seat ##A",
    "flight LH####",
    "Section ##(#)",
    "id=########",
    "user_id: ########",
    "message id msg_##~~~~~~~~~~~~~~~~~~~~~~",
    "Chrome/12#.0.0.0",
];

const WORDS: &[&str] = &[
    "the",
    "agent",
    "answered",
    "a",
    "question",
    "about",
    "billing",
    "and",
    "then",
    "searched",
    "documents",
    "for",
    "results",
    "which",
    "it",
    "summarised",
    "in",
    "English",
    "und",
    "auf",
    "Deutsch",
    "naïve",
    "—",
    "“quoted”",
    "日本語",
    "🙂",
    "e.g.",
    "etc.",
    "C++",
    "it's",
];

/// One identifier or other number.
pub(crate) fn identifier(random: &mut Random) -> String {
    let shape = random.pick(SHAPES);
    random.shape(shape)
}

/// A text of identifiers and prose.
pub(crate) fn text(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..random.number(1, 4) {
        for _ in 0..random.number(0, 6) {
            text.push_str(random.pick(WORDS));
            text.push(' ');
        }
        text.push_str(&identifier(random));
        text.push_str(random.pick(&[", ", ". ", "; ", "\n", " | "]));
    }
    text
}
