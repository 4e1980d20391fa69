"""What to type for a first message between two members whose homes lie in one folder, for those who try an office."""


def meeting_commands() -> list[str]:
    """Alice and Bob, who have joined, meet by files, and Alice writes."""
    return [
        "tessera contact add bob --home alice -o invite",
        "tessera contact add invite --home bob -o answer",
        "tessera contact add answer --home alice -o confirm",
        "tessera contact add confirm --home bob",
        "tessera send bob --home alice 'Hello Bob'",
    ]
