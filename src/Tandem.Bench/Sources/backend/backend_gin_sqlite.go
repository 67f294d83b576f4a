package main

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

// One connection writes, because SQLite has one writer and waiting in Go is cheaper than being told that the file is busy; others read beside it.
// Every statement is prepared once.
type sqliteStore struct {
	user, users, credentials, changeUser, addUser, addItem, addRefreshToken *sql.Stmt
}

func Open(ctx context.Context, database string) (Store, error) {
	options := "file:" + database + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_foreign_keys=on"
	read, err := sql.Open("sqlite3", options+"&_query_only=on")
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	read.SetMaxIdleConns(max(4, runtime.NumCPU()))
	write, err := sql.Open("sqlite3", options)
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	s := &sqliteStore{}
	for _, statement := range []struct {
		target *(*sql.Stmt)
		db     *sql.DB
		text   string
	}{
		{&s.user, read, "select id, email, name, created_at, is_active from users where id = ?"},
		{&s.users, read, "select id, email, name, created_at, is_active from users order by id limit ? offset ?"},
		{&s.credentials, read, "select id, password_hash, is_active, is_administrator from users where email = ?"},
		{&s.changeUser, write, `update users set name = coalesce(?2, name), is_active = coalesce(?3, is_active) where id = ?1
			returning id, email, name, created_at, is_active`},
		{&s.addUser, write, `insert into users (email, name, password_hash, created_at) values (?, ?, ?, ?) on conflict (email) do nothing
			returning id, email, name, created_at, is_active`},
		{&s.addRefreshToken, write, "insert into refresh_tokens (hash, user_id, expires_at) values (?, ?, ?)"},
		{&s.addItem, write, "insert into items (name, price) values (?, ?) returning id, name, price"},
	} {
		if *statement.target, err = statement.db.PrepareContext(ctx, statement.text); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *sqliteStore) User(ctx context.Context, id int64) (User, error) {
	return scanUser(s.user.QueryRowContext(ctx, id))
}

func (s *sqliteStore) Users(ctx context.Context, skip, limit int) ([]User, error) {
	rows, err := s.users.QueryContext(ctx, limit, skip)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	users := make([]User, 0, limit)
	for rows.Next() {
		user, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	return users, rows.Err()
}

func (s *sqliteStore) ChangeUser(ctx context.Context, id int64, change UserChange) (User, error) {
	return scanUser(s.changeUser.QueryRowContext(ctx, id, change.Name, change.IsActive))
}

func (s *sqliteStore) AddItem(ctx context.Context, item NewItem) (Item, error) {
	var added Item
	err := s.addItem.QueryRowContext(ctx, *item.Name, *item.Price).Scan(&added.ID, &added.Name, &added.Price)
	return added, err
}

func (s *sqliteStore) AddUser(ctx context.Context, email, name, hash string) (User, error) {
	user, err := scanUser(s.addUser.QueryRowContext(ctx, email, name, hash, time.Now().UTC().Truncate(time.Second)))
	if errors.Is(err, ErrNotFound) {
		return user, ErrTaken
	}
	return user, err
}

func (s *sqliteStore) AddRefreshToken(ctx context.Context, user int64, hash []byte, expires time.Time) error {
	_, err := s.addRefreshToken.ExecContext(ctx, hash, user, expires)
	return err
}

func (s *sqliteStore) Credentials(ctx context.Context, email string) (Credentials, error) {
	var c Credentials
	err := s.credentials.QueryRowContext(ctx, email).Scan(&c.ID, &c.Hash, &c.IsActive, &c.IsAdmin)
	return c, notFound(err)
}

func scanUser(row interface{ Scan(...any) error }) (User, error) {
	var u User
	err := row.Scan(&u.ID, &u.Email, &u.Name, &u.CreatedAt, &u.IsActive)
	return u, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
