package sasl

import "bytes"

// plain is PLAIN: authorization id, user, password, with a NUL between.
func (s *server) plain(response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, s.plain, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return nil, nil, ErrFormat
	}
	user, err := userName(parts[1])
	if err != nil {
		return nil, nil, err
	}
	if !actsAs(parts[0], user) {
		return nil, nil, ErrWrong
	}
	return s.password(user, parts[2])
}

// actsAs reports whether a user may have the authorization id: its own.
func actsAs(authzid []byte, user string) bool {
	return len(authzid) == 0 || string(authzid) == user
}

// password ends an exchange in which the client showed its password.
func (s *server) password(user string, password []byte) (_ []byte, _ step, err error) {
	if len(password) == 0 || bytes.IndexByte(password, 0) >= 0 {
		return nil, nil, ErrFormat
	}
	s.login, err = s.users.Password(user, string(password))
	return nil, nil, err
}

// loginUser and loginPassword are LOGIN, which is described nowhere but in the programs
// that speak it: two questions, whose wording some clients look at. The user may come
// as an initial response.
func (s *server) loginUser(response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte("Username:"), s.loginUser, nil
	}
	user, err := userName(response)
	if err != nil {
		return nil, nil, err
	}
	return []byte("Password:"), func(response []byte) ([]byte, step, error) {
		return s.password(user, response)
	}, nil
}
