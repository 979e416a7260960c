"""The customers that the demo agent knows. Every one of them is invented.

The values are shaped like personal data so that the gate has something to mask: the
two social security numbers that were printed in advertisements and withdrawn for it,
card numbers that card networks publish for tests, telephone numbers and addresses
that are reserved for examples.
"""

CUSTOMERS = {
    "c-1001": {
        "customer_id": "c-1001",
        "name": "Zoë O'Brien",
        "email": "zoe.obrien@example.com",
        "ssn": "078-05-1120",
        "phone": "+1 (415) 555-0132",
        "card": {"number": "4111 1111 1111 1111", "expires": "09/29"},
        "notes": "Prefers zoe.obrien+vip@example.com; SSN 078-05-1120 “verified” ✓ 日本語",
        "orders": [
            {"id": "o-1", "total": 120.5, "paid_with": "4111111111111111"},
            {"id": "o-2", "total": 19.99, "paid_with": "5500-0000-0000-0004"},
        ],
    },
    "c-1002": {
        "customer_id": "c-1002",
        "name": "Ravi Iyer",
        "email": "ravi.iyer@example.org",
        "ssn": "219-09-9999",
        "phone": "+1 (212) 555-0187",
        "card": {"number": "3782 822463 10005", "expires": "01/30"},
        "notes": "No notes.",
        "orders": [],
    },
}


def find(text: str) -> dict:
    """The customer whose id the text names; the first one when it names none."""
    for customer_id, customer in CUSTOMERS.items():
        if customer_id in text:
            return customer
    return CUSTOMERS["c-1001"]
