"""The member's side: contacts, tokens, sending, fetching and everything that a keystore of a member keeps."""
