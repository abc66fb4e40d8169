// Package mailauth is users/mailauth, the logins that mail has of its own: what
// qmail-passwd writes and qmail-auth and checkpassword ask. See mailauth(5).
package mailauth
