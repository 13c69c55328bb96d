"""What is done with the trail as a whole: sealed, exported, verified, archived, trimmed. The forms of what is
written there, and how it is checked, are `gateway.audit`'s and know no store."""
