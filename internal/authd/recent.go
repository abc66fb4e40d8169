package authd

import "container/list"

// recent keeps a bounded number of things by name, and forgets first what has not been
// asked for for the longest time.
type recent[T any] struct {
	most  int
	order *list.List // of *named[T]; the one asked for last is in front
	byKey map[string]*list.Element
}

type named[T any] struct {
	key   string
	value T
}

func newRecent[T any](most int) *recent[T] {
	return &recent[T]{most: most, order: list.New(), byKey: map[string]*list.Element{}}
}

// get returns what there is by that name, or the zero value.
func (r *recent[T]) get(key string) (value T, ok bool) {
	e := r.byKey[key]
	if e == nil {
		return value, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*named[T]).value, true
}

// put keeps a thing by a name, in place of what was there.
func (r *recent[T]) put(key string, value T) {
	if e := r.byKey[key]; e != nil {
		e.Value.(*named[T]).value = value
		r.order.MoveToFront(e)
		return
	}
	r.byKey[key] = r.order.PushFront(&named[T]{key, value})
	if r.order.Len() > r.most {
		last := r.order.Back()
		delete(r.byKey, r.order.Remove(last).(*named[T]).key)
	}
}
