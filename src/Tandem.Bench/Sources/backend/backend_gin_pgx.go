package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

// pgx keeps each statement prepared on each connection.
type pgxStore struct{ pool *pgxpool.Pool }

func Open(ctx context.Context, database string) (Store, error) {
	pool, err := pgxpool.Connect(ctx, database)
	return &pgxStore{pool}, err
}

func (s *pgxStore) User(ctx context.Context, id int64) (User, error) {
	return scanUser(s.pool.QueryRow(ctx, "select id, email, name, created_at, is_active from users where id = $1", id))
}

func (s *pgxStore) Users(ctx context.Context, skip, limit int) ([]User, error) {
	rows, err := s.pool.Query(ctx, "select id, email, name, created_at, is_active from users order by id limit $1 offset $2", limit, skip)
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

func (s *pgxStore) ChangeUser(ctx context.Context, id int64, change UserChange) (User, error) {
	return scanUser(s.pool.QueryRow(ctx, `update users set name = coalesce($2, name), is_active = coalesce($3, is_active) where id = $1
		returning id, email, name, created_at, is_active`, id, change.Name, change.IsActive))
}

func (s *pgxStore) AddItem(ctx context.Context, item NewItem) (Item, error) {
	var added Item
	err := s.pool.QueryRow(ctx, "insert into items (name, price) values ($1, $2) returning id, name, price", *item.Name, *item.Price).Scan(&added.ID, &added.Name, &added.Price)
	return added, err
}

func (s *pgxStore) AddUser(ctx context.Context, email, name, hash string) (User, error) {
	user, err := scanUser(s.pool.QueryRow(ctx, `insert into users (email, name, password_hash, created_at) values ($1, $2, $3, $4) on conflict (email) do nothing
		returning id, email, name, created_at, is_active`, email, name, hash, time.Now().UTC().Truncate(time.Second)))
	if errors.Is(err, ErrNotFound) {
		return user, ErrTaken
	}
	return user, err
}

func (s *pgxStore) AddRefreshToken(ctx context.Context, user int64, hash []byte, expires time.Time) error {
	_, err := s.pool.Exec(ctx, "insert into refresh_tokens (hash, user_id, expires_at) values ($1, $2, $3)", hash, user, expires)
	return err
}

func (s *pgxStore) Credentials(ctx context.Context, email string) (Credentials, error) {
	var c Credentials
	err := s.pool.QueryRow(ctx, "select id, password_hash, is_active, is_administrator from users where email = $1", email).Scan(&c.ID, &c.Hash, &c.IsActive, &c.IsAdmin)
	return c, notFound(err)
}

func scanUser(row pgx.Row) (User, error) {
	var u User
	err := row.Scan(&u.ID, &u.Email, &u.Name, &u.CreatedAt, &u.IsActive)
	u.CreatedAt = u.CreatedAt.UTC()
	return u, notFound(err)
}

func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
