// Package tlsbinding says what a TLS connection is known by at both of its ends, so
// that a login on it cannot be passed on from another one: the channel bindings of
// RFC 5929 and RFC 9266.
//
// A binding is worth something only if nobody between the ends can bring about two
// connections that share it. Where that is so depends on the version, see Of.
package tlsbinding

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"

	"quail/internal/sasl"
)

// exporterLabel is that of RFC 9266, section 4.
const exporterLabel = "EXPORTER-Channel-Binding"

// Of returns the bindings of a connection after its handshake, best first. server is
// the server's own certificate, which a client finds in state.PeerCertificates; nil
// leaves the binding to it out.
//
// tls-exporter is for TLS 1.3 alone. tls-unique is for TLS 1.2, where it is only
// sound if the master secret is bound to the handshake (RFC 7627): exporting keys
// fails where it is not.
func Of(state *tls.ConnectionState, server *x509.Certificate) []sasl.Binding {
	var out []sasl.Binding
	switch exported, err := state.ExportKeyingMaterial(exporterLabel, nil, 32); {
	case err != nil:
	case state.Version >= tls.VersionTLS13:
		out = append(out, sasl.Binding{Type: "tls-exporter", Data: exported})
	case state.Version == tls.VersionTLS12 && len(state.TLSUnique) > 0:
		out = append(out, sasl.Binding{Type: "tls-unique", Data: state.TLSUnique})
	}
	if server != nil {
		if sum := endPoint(server); sum != nil {
			out = append(out, sasl.Binding{Type: "tls-server-end-point", Data: sum})
		}
	}
	return out
}

// endPoint is the hash of a certificate by the hash function that it was signed with,
// SHA-256 in place of older ones; nil for signatures that have no such function (RFC
// 5929, section 4.1), as Ed25519.
func endPoint(cert *x509.Certificate) []byte {
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		sum := sha256.Sum256(cert.Raw)
		return sum[:]
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		sum := sha512.Sum384(cert.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		sum := sha512.Sum512(cert.Raw)
		return sum[:]
	default:
		return nil
	}
}
