package channel

import "fmt"

// An Alert tells the peer why a connection ends, with the code points of TLS
// (RFC 8446, Section 6).
type Alert uint8

// The alerts that are in use.
const (
	AlertCloseNotify           Alert = 0
	AlertUnexpectedMessage     Alert = 10
	AlertBadRecordMAC          Alert = 20
	AlertRecordOverflow        Alert = 22
	AlertHandshakeFailure      Alert = 40
	AlertBadCertificate        Alert = 42
	AlertCertificateUnknown    Alert = 46
	AlertIllegalParameter      Alert = 47
	AlertAccessDenied          Alert = 49
	AlertDecodeError           Alert = 50
	AlertDecryptError          Alert = 51
	AlertProtocolVersion       Alert = 70
	AlertInsufficientSecurity  Alert = 71
	AlertInternalError         Alert = 80
	AlertUserCanceled          Alert = 90
	AlertUnrecognizedName      Alert = 112
	AlertUnknownPSKIdentity    Alert = 115
	AlertNoApplicationProtocol Alert = 120
)

var alertNames = map[Alert]string{
	AlertCloseNotify:           "close_notify",
	AlertUnexpectedMessage:     "unexpected_message",
	AlertBadRecordMAC:          "bad_record_mac",
	AlertRecordOverflow:        "record_overflow",
	AlertHandshakeFailure:      "handshake_failure",
	AlertBadCertificate:        "bad_certificate",
	AlertCertificateUnknown:    "certificate_unknown",
	AlertIllegalParameter:      "illegal_parameter",
	AlertAccessDenied:          "access_denied",
	AlertDecodeError:           "decode_error",
	AlertDecryptError:          "decrypt_error",
	AlertProtocolVersion:       "protocol_version",
	AlertInsufficientSecurity:  "insufficient_security",
	AlertInternalError:         "internal_error",
	AlertUserCanceled:          "user_canceled",
	AlertUnrecognizedName:      "unrecognized_name",
	AlertUnknownPSKIdentity:    "unknown_psk_identity",
	AlertNoApplicationProtocol: "no_application_protocol",
}

// String returns the alert's name in RFC 8446.
func (a Alert) String() string {
	if name, ok := alertNames[a]; ok {
		return name
	}
	return fmt.Sprintf("alert(%d)", uint8(a))
}

// Cause returns the error that an alert of the peer's stands for, where there is only
// one such error: [ErrSameSignatureKey] for AlertCertificateUnknown. Otherwise it returns nil.
func (a Alert) Cause() error {
	if a == AlertCertificateUnknown {
		return ErrSameSignatureKey
	}
	return nil
}
